"""Colour: HSV, blur, median blur, to gray, CLAHE, brightness-contrast, gamma, JPEG compression.

Interface: class HsvDraw(NamedTuple): gains (hue, saturation, value); draw_hsv, apply_hsv.
class PhotometricDraw(NamedTuple): what is applied and how strongly (None = not applied) for every one of the set;
draw_photometric(hyp, size, generator), apply_photometric(image, drawn); and draw_/apply_ of each alone.
"""
