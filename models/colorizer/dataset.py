"""Where real photos are published: the Oxford-IIIT Pet set, cats and dogs, named after their 37 breeds."""

from __future__ import annotations

from pipeline.contract import PublicDataset

# The publisher states neither digest nor size. Both are not measured by this project: many unrelated public projects
# record this same pair for their copies (2026).
DATASET = PublicDataset(
    title="Oxford-IIIT Pet, 7,390 photos (Parkhi, Vedaldi, Zisserman & Jawahar 2012, doi:10.1109/CVPR.2012.6248092)",
    url="https://thor.robots.ox.ac.uk/pets/images.tar.gz",
    file="images.tar.gz",
    sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
    bytes=791_918_971,
    licence="CC BY-SA 4.0 (https://creativecommons.org/licenses/by-sa/4.0/)",
    homepage="https://www.robots.ox.ac.uk/~vgg/data/pets/",
)
