"""Moving records between stores, and between stores and files: exactly, in bounded memory, and repeatable after a kill.

`copy` goes from one store to another, `export_records` to a file of JSON lines, `import_records` back, `import_legacy`
from a database that was there before the store, `migrate` from a store of an earlier version. What arrives is
the record itself, with who made it, when, how often it was read, its revision and its expiry; each is read back and
compared. Expired records count as gone and are left out. Nothing is removed from a sink unasked, and a record
that is newer there than the one that comes is kept, so that running the same thing twice does no harm.

`import_legacy` writes the documents that it cannot move, or whose value may be another user's, to a file. That file is
itself a source (`RejectsFile`), and `Rules` can move what is in it. If asked to prune, `import_legacy` removes records
that it imported earlier and that the source no longer has.

If no user is named, the source's adapter needs `Backend.all_documents`. The sink's adapter needs `Backend.restore`.
"""

from datastore.moving.copying import copy
from datastore.moving.digests import digest_of
from datastore.moving.exporting import export_records
from datastore.moving.importing import import_records
from datastore.moving.legacy import import_legacy
from datastore.moving.migrating import migrate
from datastore.moving.rejects import RejectsFile
from datastore.moving.reports import OnProgress, Problem, Problems, Report
from datastore.moving.rules import Rules

__all__ = [
    "OnProgress",
    "Problem",
    "Problems",
    "RejectsFile",
    "Report",
    "Rules",
    "copy",
    "digest_of",
    "export_records",
    "import_legacy",
    "import_records",
    "migrate",
]
