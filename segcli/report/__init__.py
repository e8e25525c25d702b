"""An output as one HTML file that people can open, mail and keep."""

from segcli.report.run import ReportOptions, Written, write_report

__all__ = ["ReportOptions", "Written", "write_report"]
