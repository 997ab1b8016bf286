"""Files of other systems become rows of our tables, in four steps:

`mapping` what each column means · `records` CSV lines, one record per order · `columns` typed values of our columns ·
`read` contracts, quarantine and counts.
"""
