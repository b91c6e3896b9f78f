"""What is wrong with detections: each error by its kind, and what each kind costs."""
