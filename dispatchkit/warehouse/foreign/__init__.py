"""Files of other systems become rows of our tables, in four steps:

1. `mapping`: what each column of the file means;
2. `records`: CSV lines become records, one per order;
3. `columns`: records become typed values of our columns;
4. `read`: rows are checked against their contracts, quarantined and counted.
"""
