"""The shop's own tests, which its pipeline runs before anything is delivered."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "components" / "pricing"))
import pricing


class Pricing(unittest.TestCase):
    def test_ten_are_cheaper(self) -> None:
        self.assertEqual(pricing.total(450, 9), 4050)
        self.assertEqual(pricing.total(450, 10), 4275)


if __name__ == "__main__":
    unittest.main()
