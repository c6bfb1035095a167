"""Lays transparent pictures on white, as viewers and shops show them; imported without torch."""

from PIL import Image


def on_white(image: Image.Image) -> Image.Image:
    """The picture without transparency, in RGB; one that has none is given back as it is."""
    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    white = Image.new("RGB", layer.size, "white")
    white.paste(layer, mask=layer)
    return white
