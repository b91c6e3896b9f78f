"""The dataset "photos": free photographs inside scikit-image, labelled here.

Interface: class Photos implements ImageSource; tour_batch(size=640, batch=4, seed=...) -> Batch of seeded mosaics
"""
