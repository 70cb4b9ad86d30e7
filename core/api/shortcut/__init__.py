"""The short way of an API request that comes by key: one statement checks the key and renders the answer.

Ordinarily a request passes the middleware, Django's resolver, REST framework's request, permissions and response, and
asks the database twice, which takes several times as long as PostgreSQL takes to answer. Most of that is the same
for all requests of one shape. So what a viewset would ask is worked out once for a shape, by the viewset itself, and
kept as a statement; the requests of that shape then only run it.

The short way knows one outcome, success. Whatever else happens (a key that is no good, a scope that is missing,
a row that isn't there, a parameter that is wrong, a database that is away) is left to the ordinary way, which begins
anew and knows what to say. So the rules are stated once, there, and both ways give the same answers.
"""
