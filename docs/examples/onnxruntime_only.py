"""An edgekit graph without edgekit: python onnxruntime_only.py MODEL.onnx PHOTO prints one JSON line an object."""

import json
import sys

import numpy as np
import onnxruntime as ort
from PIL import Image, ImageOps

session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["edgekit"])
classes = [name for generation in about["generations"] for name in generation]
photo = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB")
height, width = session.get_inputs()[0].shape[1:3]
ratio = min(height / photo.height, width / photo.width)
fitted = max(1, round(photo.width * ratio)), max(1, round(photo.height * ratio))
canvas = np.full((1, height, width, 3), (124, 116, 104), np.uint8)
canvas[0, : fitted[1], : fitted[0]] = photo.resize(fitted, Image.Resampling.BILINEAR)
found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"images": canvas}), strict=True))
for slot in np.flatnonzero(found["scores"][0] >= 0.5):
    box = np.clip(found["boxes"][0, slot] * (photo.size * 2) / (fitted * 2), 0, photo.size * 2)
    row = {"category": classes[found["labels"][0, slot]], "score": float(found["scores"][0, slot]), "box": box.tolist()}
    if "masks" in found:  # pasted: a border of one cell, the box grown by 30/28, bilinear, more than 0.5
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * 30 / 28
        x0, y0, x1, y1 = np.trunc([*(middle - half), *(middle + half)]).astype(int).tolist()
        cells = Image.fromarray(np.pad(found["masks"][0, slot], 1))
        pixels = Image.new("F", photo.size)
        pixels.paste(cells.resize((x1 - x0 + 1, y1 - y0 + 1), Image.Resampling.BILINEAR), (x0, y0))
        row["mask_pixels"] = int((np.asarray(pixels) > 0.5).sum())
    print(json.dumps(row))
