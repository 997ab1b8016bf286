"""Travel times: straight lines where there is no map, shortest paths over OpenStreetMap streets where there is one."""
