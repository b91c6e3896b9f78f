"""Image files and pictures of any kind, as RGB arrays: read, checked, measured."""
