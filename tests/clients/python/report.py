"""Runs the tests of a module and prints one JSON line for each: {"name", "failure"}."""

import json
import sys
import unittest


class Report(unittest.TestResult):
    def addSuccess(self, test):
        self.tell(test, None)

    def addFailure(self, test, error):
        self.tell(test, self._exc_info_to_string(error, test))

    # An unexpected exception is no less a failure.
    addError = addFailure

    @staticmethod
    def tell(test, failure):
        # The id also names the module, or what could not be imported.
        name = test.id().split(".", 1)[-1].replace("test_", "").replace("_", " ")
        print(json.dumps({"name": name, "failure": failure}), flush=True)


unittest.defaultTestLoader.loadTestsFromName(sys.argv[1]).run(Report())
