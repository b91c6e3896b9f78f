"""Reads Pascal VOC annotations: one XML file per image."""

import re
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from yolo_lite.datasets.convert.converted import positive_size, turn_of
from yolo_lite.images.headers import Size


class VocObject(NamedTuple):
    """One object of an XML file, as it is written there."""

    name: str  # '' where it has none
    box: tuple[str | None, ...] | None  # xmin, ymin, xmax, ymax as they are written; None: it has no bndbox
    difficult: bool
    line: int
    turn: float  # in degrees about the box's centre, as CVAT exports it among the attributes


class VocFile(NamedTuple):
    """What a Pascal VOC XML file holds."""

    path: Path
    image_names: tuple[str, ...]  # what it calls its image: its filename and its path, where it has them
    size: Size | None
    objects: tuple[VocObject, ...]


def read_voc_file(path: Path) -> VocFile:
    """Reads a file.

    Raises:
        FileNotFoundError: it is not there. ValueError, expat.ExpatError: it is not a Pascal VOC annotation.
    """
    root = parse_xml(path.read_bytes())
    if root.tag != "annotation":
        raise ValueError(f"not a Pascal VOC annotation: it begins with <{root.tag}>, not with <annotation>")
    names = [_text(root, tag) for tag in ("filename", "path")]
    size = positive_size(root.findtext("size/width"), root.findtext("size/height"))
    return VocFile(path, tuple(name for name in names if name), size, tuple(map(_object, root.findall("object"))))


def _object(entry: Element) -> VocObject:
    box = entry.find("bndbox")
    corners = None if box is None else tuple(box.findtext(key) for key in ("xmin", "ymin", "xmax", "ymax"))
    is_difficult = _text(entry, "difficult").lower() in ("1", "true", "yes")
    given = [
        _text(each, "value") for each in entry.iterfind("attributes/attribute") if _text(each, "name") == "rotation"
    ]
    turn = turn_of(given[0]) if given else 0.0
    return VocObject(_text(entry, "name"), corners, is_difficult, int(entry.get(LINE, 0)), turn)


def _text(element: Element, tag: str) -> str:
    return (element.findtext(tag) or "").strip()


LINE = "{yolo-lite}line"  # the attribute that parse_xml adds; no file can have it, a name has no braces


def parse_xml(data: bytes) -> Element:
    """Parses XML that may come from anywhere: a DTD, and with it every entity, is refused.

    Each element gets the line it starts on as its attribute ``LINE``.

    Raises:
        ValueError: the file declares a DTD. expat.ExpatError: it is not well-formed.
    """

    def refuse(*_: object) -> None:
        raise ValueError("it declares a DTD or entities, which annotations do not need; not read")

    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = lambda tag, attributes: builder.start(
        tag, {**attributes, LINE: str(parser.CurrentLineNumber)}
    )
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(_decoded(data), True)
    return builder.close()


def _decoded(data: bytes) -> bytes | str:
    """The text of a file in an encoding that expat does not know (GBK, Big5, Shift JIS ...); otherwise its bytes.

    Raises:
        ValueError: the file is empty, or not in the encoding that it declares.
    """
    if not data.strip(b"\0 \r\n\t\xef\xbb\xbf\xfe\xff"):
        raise ValueError(f"the file is empty ({len(data)} bytes)")
    declared = re.match(rb"""<\?xml[^>]*?encoding=["']([\w.-]+)["']""", data)
    encoding = declared[1].decode() if declared else "utf-8"
    if encoding.lower() in ("utf-8", "utf8") and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            data.decode()
        except UnicodeDecodeError as error:
            hint = "" if declared else ", and declares no other encoding"
            raise ValueError(f"it is not in UTF-8{hint}: save it as UTF-8 ({error})") from None
    if encoding.lower().startswith(("utf", "iso-8859-1", "us-ascii")):
        return data
    try:
        return data.decode(encoding)
    except (LookupError, UnicodeDecodeError) as error:
        raise ValueError(f"it declares the encoding {encoding}, and is not in it ({error})") from None
