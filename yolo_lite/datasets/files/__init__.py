"""Image files with label files beside them: found, named, checked and reported."""
