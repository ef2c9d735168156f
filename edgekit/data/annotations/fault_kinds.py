"""The kinds of faults in annotations: what has one plain meaning and is repaired, and what only the user can mend."""

from __future__ import annotations

from edgekit.data.annotations.faults import FaultKind

EXPORT_AGAIN = "export the annotations again"
DRAW_AGAIN = "draw it again, or delete it"


class Unusable(Exception):
    """An object that cannot be used: its kind of fault and the details."""

    def __init__(self, kind: FaultKind, detail: str = "") -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


# Repaired.
SIZE_UNKNOWN = FaultKind("the photo's width or height is missing or no size", repair="taken from the photo's file")
TEXT = FaultKind("a number is given as text", repair="read as a number")
CROSSING = FaultKind("a polygon crosses itself", repair="filled as pycocotools fills it")
DEGENERATE_PART = FaultKind("a part of the mask has no area", repair="dropped, the other parts are the mask")
NO_OUTLINE = FaultKind("its mask has fewer than 3 points or no area", repair="its box is used, without a mask")
FLAT_POLYGON = FaultKind("its segmentation is one list of numbers", repair="taken as one polygon")
NOT_THE_BOX = FaultKind("its box is missing, has no size or encloses dropped parts", repair="derived from the mask")
CLIPPED = FaultKind("its box reaches out of the photo", repair="clipped to the photo")
AREA = FaultKind("its area is not a positive number", repair="derived from mask or box")
CROWD_FLAG = FaultKind("its iscrowd is not the number 0 or 1", repair="true, yes and 1 are 1, false, no and 0 are 0")
CROWD_TAKEN = FaultKind("is marked iscrowd", repair="taken as an object, as --crowd-as-objects asks")
DUPLICATE = FaultKind("is annotated twice, exactly alike", repair="taken once")
UNUSED_CATEGORY = FaultKind("an unused category shares its name or id with another", repair="omitted")
IMAGE_AGAIN = FaultKind("an image is listed twice, exactly alike", repair="taken once")
UNNAMED_CATEGORY = FaultKind("an unused category has no name or no id", repair="omitted")

# Of photos: --skip-bad-images leaves them out.
MISSING = FaultKind("is not there", remedy="give the folder that holds all photos with --images", of_photo=True)
AMBIGUOUS = FaultKind("several photos fit the name", remedy="write the photo's folder into its name", of_photo=True)
UNREADABLE = FaultKind("the photo cannot be read", remedy="replace or remove the file", of_photo=True)
OTHER_SIZE = FaultKind(
    "the photo's file is not of the size that is listed",
    remedy="annotate the file as it is, or restore the one that was annotated",
    of_photo=True,
)
BLANK = FaultKind("shows nothing where objects are annotated", of_photo=True, is_left_out=True)

# Of files and lists.
BAD_FILE = FaultKind("cannot be read", remedy="export it again, or move it elsewhere")
ANNOTATED_TWICE = FaultKind("the photo is listed or annotated twice", remedy="delete one, or make them one")
UNKNOWN_IMAGE = FaultKind("refers to an image that the file does not list", remedy=EXPORT_AGAIN)
UNKNOWN_CATEGORY = FaultKind("refers to a class that is not listed", remedy=EXPORT_AGAIN)
SHARED_CATEGORY = FaultKind("its category shares its id or name with another", remedy="make them one, or rename one")
BAD_IMAGE = FaultKind("is not an image with an id", remedy=EXPORT_AGAIN)

# Of objects.
BAD_ANNOTATION = FaultKind("is not an annotation", remedy=EXPORT_AGAIN)
NOT_NUMBERS = FaultKind("a number is missing, no number or infinite", remedy=DRAW_AGAIN)
ODD_COUNT = FaultKind("a polygon has an odd count of numbers", remedy="export it again")
NO_SHAPE = FaultKind("has neither a box nor a mask", remedy="annotate it again, or delete it")
NO_NAME = FaultKind("has no class name", remedy="annotate it again, or delete it")
EMPTY_BOX = FaultKind("its box has no size", remedy=DRAW_AGAIN)
EMPTY_MASK = FaultKind("its mask covers no pixel of the photo", remedy=DRAW_AGAIN)
OUTSIDE = FaultKind("is outside the photo", remedy="delete it, or check that it was drawn on this photo")
MISFIT = FaultKind("its box is not its mask's", remedy=EXPORT_AGAIN)
RLE_SIZE = FaultKind("its RLE is of a photo of another size", remedy=EXPORT_AGAIN)
RLE_LENGTH = FaultKind("its RLE is truncated or too long", remedy=EXPORT_AGAIN)
RLE_UNREADABLE = FaultKind("its RLE cannot be read", remedy=EXPORT_AGAIN)
NOT_A_MASK = FaultKind("its mask is not in a form that edgekit reads", remedy=EXPORT_AGAIN)
CROWD_UNKNOWN = FaultKind("its iscrowd is neither 0 nor 1", remedy=EXPORT_AGAIN)
POSE = FaultKind("is a row of YOLO pose: a box and keypoints, no polygon", remedy="keep the boxes, or export polygons")
BAD_ROW = FaultKind(
    "is not a YOLO row: the class and 4 numbers of a box, or 6 or more of a polygon", remedy=EXPORT_AGAIN
)
