"""Ask PyPI by pip-audit whether a dependency has a known vulnerability; exit status 1 if one has.

Where PyPI's answers can't be had, nothing is known: then this says so, and loudly, and fails nothing.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

UNREACHABLE = ("ConnectionError", "ServiceError", "Max retries exceeded", "timed out")


def main() -> int:
    """Run pip-audit, and judge what it says."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip_audit", "--progress-spinner", "off", "--format", "json"]
        done = subprocess.run([*command, "--output", str(report)], capture_output=True, text=True)  # noqa: S603
        dependencies = json.loads(report.read_text())["dependencies"] if report.exists() else []
    audited = [each for each in dependencies if "skip_reason" not in each]
    vulnerable = [each for each in audited if each["vulns"]]
    for each in vulnerable:
        for found in each["vulns"]:
            print(f"{each['name']} {each['version']}: {found['id']}, mended in {found['fix_versions'] or 'no version'}")
    if vulnerable:
        return 1
    if audited:
        skipped = [each["name"] for each in dependencies if each not in audited]
        print(f"{len(audited)} packages have no known vulnerability; {len(skipped)} unknown to PyPI: {skipped}")
        return done.returncode
    if dependencies or any(word in done.stderr for word in UNREACHABLE):
        print("!" * 100, "NOT AUDITED: PyPI's list of vulnerabilities can't be had from here.", "!" * 100, sep="\n")
        return 0
    sys.stderr.write(done.stderr)
    return done.returncode or 1


if __name__ == "__main__":
    sys.exit(main())
