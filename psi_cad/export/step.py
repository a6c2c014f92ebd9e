"""STEP AP242 with a named product and named faces, the same bytes for the same inputs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cadquery as cq
from OCP.IFSelect import IFSelect_RetDone
from OCP.Interface import Interface_Static
from OCP.Quantity import Quantity_Color, Quantity_TOC_sRGB
from OCP.STEPCAFControl import STEPCAFControl_Controller, STEPCAFControl_Writer
from OCP.STEPControl import STEPControl_StepModelType
from OCP.TCollection import TCollection_ExtendedString
from OCP.TDataStd import TDataStd_Name
from OCP.TDocStd import TDocStd_Document
from OCP.XCAFDoc import XCAFDoc_ColorType, XCAFDoc_DocumentTool
from OCP.XSControl import XSControl_WorkSession

from psi_cad.errors import KernelError
from psi_cad.files import whole_file

__all__ = ["time_stamp", "write_step"]

_EPOCH: Final = "SOURCE_DATE_EPOCH"
COLOURS: Final = {"slot": (0.85, 0.2, 0.15), "seat": (0.95, 0.85, 0.55), "pin": (0.2, 0.55, 0.3)}
BODY: Final = (0.45, 0.6, 0.8)


def time_stamp() -> str:
    """The time written into files: SOURCE_DATE_EPOCH, or a fixed day, so that inputs alone decide the bytes."""
    seconds = int(os.environ.get(_EPOCH, "0") or "0")
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def write_step(path: Path, solid: cq.Solid, *, product: str, faces: Mapping[str, list[cq.Face]], software: str) -> None:
    """Write `solid` (patient mm, LPS) to `path`.

    Parameters
    ----------
    product : str
        The product's name.
    faces : mapping of name to faces
        Faces of `solid` to be named; a name's first word ("slot", "seat", "pin") chooses its colour.
    software : str
        Name and version, for the header.

    Raises
    ------
    KernelError
        If the file cannot be written.
    """
    document = TDocStd_Document(TCollection_ExtendedString("XmlXCAF"))
    shapes = XCAFDoc_DocumentTool.ShapeTool_s(document.Main())
    colours = XCAFDoc_DocumentTool.ColorTool_s(document.Main())
    label = shapes.AddShape(solid.wrapped, False)
    TDataStd_Name.Set_s(label, TCollection_ExtendedString(product))
    colours.SetColor(label, Quantity_Color(*BODY, Quantity_TOC_sRGB), XCAFDoc_ColorType.XCAFDoc_ColorGen)
    for name, group in faces.items():
        for face in group:
            part = shapes.AddSubShape(label, face.wrapped)
            if part.IsNull():
                continue
            TDataStd_Name.Set_s(part, TCollection_ExtendedString(name))
            rgb = COLOURS.get(name.split()[0], BODY)
            colours.SetColor(part, Quantity_Color(*rgb, Quantity_TOC_sRGB), XCAFDoc_ColorType.XCAFDoc_ColorSurf)
    STEPCAFControl_Controller.Init_s()
    session = XSControl_WorkSession()
    writer = STEPCAFControl_Writer(session, False)
    # set after the controller is there: before, the schema silently stays AP214
    for key, value in (("write.step.schema", "AP242DIS"), ("write.step.unit", "MM"), ("write.step.product.name", product)):
        Interface_Static.SetCVal_s(key, value)
    Interface_Static.SetIVal_s("write.stepcaf.subshapes.name", 1)
    Interface_Static.SetIVal_s("write.surfacecurve.mode", 0)  # half the size, and read faster: curves in space say it all
    Interface_Static.SetIVal_s("write.precision.mode", 0)
    writer.SetNameMode(True)
    writer.SetColorMode(True)
    if not writer.Transfer(document, STEPControl_StepModelType.STEPControl_AsIs):
        raise KernelError(f"The kernel could not translate '{product}' to STEP.")
    with whole_file(path) as temporary:
        if writer.Write(str(temporary)) != IFSelect_RetDone:
            raise KernelError(f"The STEP file '{path.name}' could not be written; is the disk full or the folder read-only?")
        text = temporary.read_bytes().decode("latin-1")
        temporary.write_bytes(_with_header(text, product, software).encode("latin-1"))


def _with_header(text: str, product: str, software: str) -> str:
    """The file with a header of ours: no time of day, no author or machine, no running counter."""
    end = text.index("ENDSEC;")
    schema = re.search(r"FILE_SCHEMA\s*\(\(.*?\)\);", text[:end], re.DOTALL)
    if schema is None or "AP242" not in schema.group(0):
        raise KernelError("The kernel wrote another STEP schema than AP242.")
    header = (
        "ISO-10303-21;\nHEADER;\n"
        "FILE_DESCRIPTION(('patient-specific cutting guide; engineering data, not a medical device'),'2;1');\n"
        f"FILE_NAME('{product}','{time_stamp()}',(''),(''),'{software}','{software}','');\n"
        f"{schema.group(0)}\n"
    )
    body = text[end:]
    body = re.sub(r"NEXT_ASSEMBLY_USAGE_OCCURRENCE\('\d+'", "NEXT_ASSEMBLY_USAGE_OCCURRENCE('1'", body)
    return header + re.sub(r"'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", f"'{time_stamp()}", body)
