"""Non-maximum suppression as ONNX operators: appended to a graph that gives decoded boxes.

ONNX's ``NonMaxSuppression`` suppresses per class and takes a limit per class. Here it gets one class and boxes moved
apart by their class, as ``non_max_suppression`` does: the same candidates in the same order, the same rounding of the
same numbers, one limit for all. Of equal scores the first box wins in both. What may differ: an IoU that is the
threshold to the last bits of a float, as the operator adds no epsilon; and ``max_candidates``, which no operator has.

Shape letters: N batch, n boxes of an image, C classes, k detections of all images.
"""

from typing import TYPE_CHECKING

from yolo_lite.detect.nms import CLASS_OFFSET
from yolo_lite.exporting.network import BOXES, DETECTIONS, Thresholds

if TYPE_CHECKING:
    import onnx

# boxes (N, n, 5 + C): x, y, w, h, objectness, class scores -> detections (k, 7)
GRAPH = """
non_max_suppression (float[N, n, W] {boxes}, float[1] conf_thres, float[1] iou_thres, int64[1] max_det)
    => (float[k, 7] {detections}) {{
    nms_columns = Constant <value_ints = [2, 2, 1, {classes}]> ()
    nms_centre, nms_size, nms_objectness, nms_scores = Split <axis = 2> ({boxes}, nms_columns)
    nms_two = Constant <value_float = 2.0> ()
    nms_half = Div (nms_size, nms_two)
    nms_top_left = Sub (nms_centre, nms_half)
    nms_bottom_right = Add (nms_centre, nms_half)
    nms_xyxy = Concat <axis = 2> (nms_top_left, nms_bottom_right)

    nms_products = Mul (nms_objectness, nms_scores)
    nms_class_axis = Constant <value_ints = [2]> ()
    nms_confidence = ReduceMax <keepdims = 1> (nms_products, nms_class_axis)
    nms_class = ArgMax <axis = 2, keepdims = 1> (nms_products)
    nms_class_float = Cast <to = 1> (nms_class)

    nms_is_object = Greater (nms_objectness, conf_thres)
    nms_never = Constant <value_float = -1.0> ()
    nms_ranked = Where (nms_is_object, nms_confidence, nms_never)
    nms_one_class = Transpose <perm = [0, 2, 1]> (nms_ranked)
    nms_class_offset = Constant <value_float = {offset}> ()
    nms_offset = Mul (nms_class_float, nms_class_offset)
    nms_apart = Add (nms_xyxy, nms_offset)
    nms_selected = NonMaxSuppression (nms_apart, nms_one_class, max_det, iou_thres, conf_thres)

    nms_rows = Concat <axis = 2> (nms_xyxy, nms_confidence, nms_class_float)
    nms_image_and_box = Constant <value_ints = [0, 2]> ()
    nms_places = Gather <axis = 1> (nms_selected, nms_image_and_box)
    nms_found = GatherND (nms_rows, nms_places)
    nms_first = Constant <value_ints = [0]> ()
    nms_image = Gather <axis = 1> (nms_selected, nms_first)
    nms_image_float = Cast <to = 1> (nms_image)
    {detections} = Concat <axis = 1> (nms_image_float, nms_found)
}}
"""


def append_nms(model: "onnx.ModelProto", num_classes: int, thresholds: Thresholds) -> None:
    """Makes detections (k, 7) the output of a graph whose output was the boxes (N, n, 5 + C).

    Columns: image, left, top, right, bottom in pixels, confidence, class; image by image, best first. The thresholds
    are inputs ``conf_thres``, ``iou_thres``, ``max_det`` with a default: whoever runs the file may give others.
    """
    from onnx import TensorProto, helper, parser

    text = GRAPH.format(boxes=BOXES, detections=DETECTIONS, classes=num_classes, offset=float(CLASS_OFFSET))
    suppression = parser.parse_graph(text)
    graph = model.graph
    graph.node.extend(suppression.node)
    graph.input.extend(suppression.input[1:])
    types = (TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT64)
    for (name, value), kind in zip(thresholds._asdict().items(), types, strict=True):
        graph.initializer.append(helper.make_tensor(name, kind, [1], [value]))
    del graph.output[:]
    graph.output.extend(suppression.output)
