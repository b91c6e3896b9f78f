"""Where data comes from: files in folders and lists, drawn scenes, photographs, converters, downloads."""
