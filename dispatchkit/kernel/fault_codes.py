"""The codes of what can be wrong with a file; a code keeps its meaning in every release."""

from __future__ import annotations

from dispatchkit.kernel.documented_enum import DocumentedEnum


class FileFault(DocumentedEnum):
    """What is wrong with a file or folder, so that none of it is taken."""

    NO_SUCH_FILE = "DK-IN-001", "there is no such file or folder"
    WRONG_KIND = "DK-IN-002", "a folder where a file belongs, or the other way round"
    NOT_READABLE = "DK-IN-003", "permission denied"
    EMPTY = "DK-IN-004", "the file is empty"
    NO_MANIFEST = "DK-IN-007", "an export without manifest is not complete"
    CHECKSUM = "DK-IN-008", "the checksum is another one: copied or fetched badly"
    NOT_AS_ANNOUNCED = "DK-IN-009", "rows, sums or ranges differ from what was announced"
    TWO_SNAPSHOTS = "DK-IN-010", "tables of two extracts in one folder"
    TOO_OLD = "DK-IN-011", "the export is older than allowed"
    IN_THE_FUTURE = "DK-IN-012", "the export claims to be from the future"
    OTHER_DATABASE = "DK-IN-013", "the export was made from another database"
    OTHER_FORMAT = "DK-IN-014", "the format or schema is of another version"
    BAD_MANIFEST = "DK-IN-015", "the manifest cannot be read"
    OUTSIDE_EXPORT = "DK-IN-016", "the manifest names a file outside the export"
    PARQUET_CUT = "DK-IN-017", "the Parquet file is not complete"
    NOT_PARQUET = "DK-IN-019", "the file is not Parquet"
    UNEVEN_LINE = "DK-IN-021", "a line has more or fewer fields than the header"
    NOT_CSV = "DK-IN-022", "a line is not CSV, for example an unterminated quote"
    ENCODING = "DK-IN-023", "a byte is not of the expected encoding"
    CONTROL_CHARACTER = "DK-IN-024", "the file contains a control character"
    OTHER_DIALECT = "DK-IN-025", "the delimiter or the line ends are not the expected ones"
    WRONG_COLUMNS = "DK-IN-026", "a column is missing or has another type"
    UNKNOWN_COLUMN = "DK-IN-027", "a column is not known, and --strict was given"
    COLUMN_TWICE = "DK-IN-028", "a column is there twice"
    TWO_VERSIONS = "DK-IN-031", "one id has two different rows"
    TWO_ACCEPTED = "DK-IN-042", "two offers of one search are accepted"
    TOO_WIDE = "DK-IN-043", "too many columns, or a field is too long"
    TOO_LARGE = "DK-IN-044", "the file is compressed or too large"
    TOO_MANY_BAD_ROWS = "DK-IN-045", "more rows are bad than allowed"
    OUTSIDE_ROOT = "DK-IN-046", "the output lies outside the folder for outputs"
    SYMLINK = "DK-IN-047", "symbolic links are refused"
    NOT_WRITABLE = "DK-IN-048", "the output exists already, or its folder does not"
    DISK_FULL = "DK-IN-049", "the disk is full; nothing was kept"
    UNKNOWN_TABLE = "DK-IN-050", "there is no such table"
    BAD_POLYGON = "DK-IN-062", "a zone's ring is not a polygon"
    SEAL = "DK-AUD-SEAL", "the file of seals does not fit the database"


class RowFault(DocumentedEnum):
    """Why a row is quarantined."""

    DUPLICATE = "DK-IN-030", "repeats an earlier row exactly"
    BAD_ID = "DK-IN-032", "an id that is missing or not a positive whole number"
    NOT_A_WHOLE_NUMBER = "DK-IN-033", "not a number, or lines of one order that differ"
    OUT_OF_RANGE = "DK-IN-034", "a number outside its range: negative money, for example"
    BAD_COORDINATE = "DK-IN-035", "not a latitude or longitude in degrees"
    NULL_ISLAND = "DK-IN-036", "position 0,0: a missing position written as a number"
    NO_TIME_ZONE = "DK-IN-037", "a time without offset, or in the hour that a clock change skips"
    BAD_TIME = "DK-IN-038", "not a time, outside 2000 to 2100, or a delivery that lasted too long"
    EMPTY_INTERVAL = "DK-IN-039", "an interval that ends before it begins, or overlaps another"
    BAD_WORD = "DK-IN-040", "a word that is not in the column's vocabulary"
    ORPHAN = "DK-IN-041", "points to a row that does not exist"
