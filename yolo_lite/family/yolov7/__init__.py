"""YOLOv7: ELAN, planned re-parameterisation, and an assignment that asks the network what fits best."""

from yolo_lite.family.yolov7.assignment import Costs, assign_by_cost, candidate_costs
from yolo_lite.family.yolov7.loss import Yolov7Loss, Yolov7Settings

__all__ = ["Costs", "Yolov7Loss", "Yolov7Settings", "assign_by_cost", "candidate_costs"]
