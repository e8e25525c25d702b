"""Archives written by the tests themselves."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import packing  # noqa: E402, F401  the tests here import it by name

sys.path.remove(str(HERE))
