"""Where the real transactions are published: UCI Online Retail, all sales of a British gift shop in a year."""

from __future__ import annotations

from pipeline.contract import PublicDataset

# UCI sends a zip without a checksum and states no size, so digest and size are those of the workbook inside it. They
# are not measured by this project: many unrelated public projects record this same pair for their copies (2026).
DATASET = PublicDataset(
    title="UCI Online Retail (dataset 352, Chen 2015, doi:10.24432/C5BW33)",
    url="https://archive.ics.uci.edu/static/public/352/online+retail.zip",
    file="Online Retail.xlsx",
    sha256="43465a06f2ccf7c8b5bd2892bc7defb52f97487934fe93b16ae4c3936424676d",
    bytes=23_715_344,
    licence="CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)",
    homepage="https://archive.ics.uci.edu/dataset/352/online+retail",
)
