"""All benchmarks, each row against its limit in the same run, as one table: python -m tests.bench [ROW ...] [options].

Exit code 1 where a row is not reached, 2 where a run is void. What each row is, and what was found: docs/performance.md.
"""

import sys

