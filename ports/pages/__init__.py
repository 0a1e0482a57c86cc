"""Pages: finished results as one self-contained HTML file, and the same charts as pictures.

A page is data before it is HTML: sections of blocks (`section`), which `page` renders and `figures` draws. A file of
`sections/` makes the section of one command's results, with charts from `charts/`. Nothing is computed here but which
rows of finished tables are shown, and in which order.
"""
