"""The embedded dataset "shapes": drawn scenes, generated in memory from a seed.

Interface: class Shapes implements ImageSource: Shapes(split="train", size=320, count=None, seed=0); draw_scene(generator, size) -> Scene(image, cls, boxes xyxy px, polygons); export_shapes(folder, ...)
"""
