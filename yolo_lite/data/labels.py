"""Label files -> checked, flat arrays.

Interface:
class Problem(NamedTuple): path: str; line: int | None; message: str   -> str(problem) = "labels/a.txt:3: class 7, but there are 3 classes (0 to 2); row left out"
class Report: problems (list of Problem) and counts (images, labelled, background, objects, rows left out ...); str() readable table; bool
class LabelStore: flat arrays, shared by the workers: image_start (n+1,) int64, cls (m,) int64, boxes (m,4) float32 xywh normalised,
    polygon_start (m+1,) int64, polygon_points (k,2) float32 normalised; held as torch tensors in shared memory so that any start method shares them;
    store.of(i) -> ImageLabels(cls, boxes, polygons); LabelStore.build(list of ImageLabels); len(); .num_objects
class ImageLabels(NamedTuple): cls (n,), boxes (n,4) xywh normalised, polygons tuple of (k,2) or None
image_to_label_path(path), parse_label_file(path, num_classes) -> (ImageLabels, list[Problem])
"""
