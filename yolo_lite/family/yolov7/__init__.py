"""YOLOv7: ELAN, planned re-parameterisation, and an assignment that asks the network what fits best.

"yolov7-aux" has an auxiliary head, too, which only training has and which learns what the lead head's predictions say.
"""

from yolo_lite.family.yolov7.assignment import Costs, assign_by_cost, candidate_costs
from yolo_lite.family.yolov7.loss import Yolov7Loss, Yolov7Settings

__all__ = ["Costs", "Yolov7Loss", "Yolov7Settings", "assign_by_cost", "candidate_costs"]
