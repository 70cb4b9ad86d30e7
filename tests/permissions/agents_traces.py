"""Who gets what of traces and statistics."""

# The usage of one record needs the record, which these requests don't name.
TABLE = """
                                              anonymous owner admin teammate viewer customer stranger key reader
GET    /api/v1/traces/                              401   200   200      200    200      403      200 200    403
GET    /api/v1/traces/<trace:pk>/                   401   200   200      200    200      403      404 200    403
GET    /api/v1/traces/<trace:pk>/spans/             401   200   200      200    200      403      404 200    403
GET    /api/v1/statistics/executions/               401   200   200      200    200      403      200 200    403
GET    /api/v1/statistics/model-calls/              401   200   200      200    200      403      200 200    403
GET    /api/v1/statistics/tool-executions/          401   200   200      200    200      403      200 200    403
GET    /api/v1/statistics/usage/                    401   400   400      400    400      403      400 400    403
"""
