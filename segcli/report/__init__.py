"""A report about an output as one HTML file that can be opened from disk and mailed."""

from segcli.report.run import ReportOptions, Written, write_report

__all__ = ["ReportOptions", "Written", "write_report"]
