"""Mixing: mosaic, mixup, copy-paste.

Interface:
class MosaicDraw(NamedTuple): centre (x, y) px of the 2s x 2s canvas; order (4,) which of the four (0 = the image itself, 1..3 the partners) lies top-left, top-right, bottom-left, bottom-right; partners (3,) dataset indices
draw_mosaic(hyp, size, generator, index, num_images) -> MosaicDraw; apply_mosaic(images, objects, drawn, size) -> Mosaic(image (2s, 2s, 3), objects clipped to the canvas, ...)
class MixupDraw: ratio; draw_mixup, apply_mixup(image_a, objects_a, image_b, objects_b, drawn)
class CopyPasteDraw: order (n,) permutation of the objects (the first round(p * m) of the m with polygons are tried); draw_copy_paste, apply_copy_paste(image, objects, drawn)
"""
