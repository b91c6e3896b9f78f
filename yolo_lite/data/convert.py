"""COCO JSON and Pascal VOC -> YOLO folders.

Interface: convert_coco(json_path, out_dir, images=None, ...) -> Report; convert_voc(folder, out_dir, names=None, ...) -> Report
"""
