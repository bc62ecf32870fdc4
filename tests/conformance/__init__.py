"""What RFC 9113 and RFC 7541 ask of a server of HTTP/2, case by case.

Each module is a chapter and has `CASES`; `harness.conformance` plays them against any server that puts requests to a `StuckMember`. Where
the RFC lets a server answer a stream error by ending the connection (section 5.4.1), the cases ask for the gentler way, but for frames on
streams that have ended.
"""
