"""Charts, a file a kind: a table in, an altair chart out that reads it as the data source `section.TABLE`.

A chart says the unit in every axis title. Colours and fonts are `theme`'s.
"""
