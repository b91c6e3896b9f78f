"""What chapters use and what computes no YOLO: names of classes, tables of layers, COCO's own evaluation."""
