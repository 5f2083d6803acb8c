"""Which points of the 468-point mesh run around which part of the face; left and right as the viewer sees them."""

from __future__ import annotations

# fmt: off
OUTLINE = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
           152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # clockwise from the top
EYES = ((33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
        (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249))  # from the outer corner over the upper lid
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))  # upper edge, lower edge back
ORBITS = ((46, 53, 52, 65, 55, 193, 245, 128, 121, 120, 119, 118, 117, 111, 143),
          (276, 283, 282, 295, 285, 417, 465, 357, 350, 349, 348, 347, 346, 340, 372))  # below the brow and around the eye
BRIDGE = (55, 9, 285, 417, 465, 6, 245, 193)
NOSE = (168, 417, 351, 419, 420, 279, 294, 327, 326, 2, 97, 98, 64, 49, 198, 196, 122, 193)
LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)  # from the left corner over the upper lip
GAP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)  # their inner edge, the same way
BROW_LINE = (162, 46, 53, 52, 65, 55, 9, 285, 295, 282, 283, 276, 389)  # below the forehead, from left to right
TOP = (389, 251, 284, 332, 297, 338, 10, 109, 67, 103, 54, 21, 162)  # the outline above it, from right to left
MOUTH_LINE = (58, 212, 61, 14, 291, 432, 288)  # above chin and jaw, from left to right
BOTTOM = (288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58)  # the outline below it, from right to left
SKIN = (50, 280, 205, 425, 36, 266, 101, 330, 118, 347, 187, 411, 207, 427, 4, 5, 195, 151, 9, 108, 337, 69, 299, 199, 200, 142, 371,
        126, 355, 123, 352, 147, 376)  # on bare skin as a rule
# fmt: on
