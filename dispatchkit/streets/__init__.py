"""Street maps and travel times.

An OSM file (`load`) or an osmnx graph (`networkx_io`) becomes street segments between junctions
(`segments`), then a graph of directed arcs (`graph`) that is stored as a folder of arrays
(`map_storage`). `StreetMap` opens the folder, moves points to streets (`snap`) and searches travel
times (`matrix`) and paths (`path`). `StraightLine` answers the same questions without a map.
"""
