"""The SQL functions behind catalog's rules, made by its first migration before the tables that use them.

A change to one of them is a new migration with ``CREATE OR REPLACE FUNCTION``; this page then keeps the first version.
Functions that CHECK constraints and defaults use are written in the SQL-standard form (``RETURN …``), whose
references are bound when they are made: so a restored dump, which runs without a search path, finds them.
"""

from django.db import migrations

from catalog.currencies import DIGITS
from core.database_functions import make

CASES = "\n".join(
    f"    WHEN currency IN ({', '.join(repr(code) for code, each in DIGITS.items() if each == digits)}) THEN {digits}"
    for digits in sorted(set(DIGITS.values()))
)

CURRENCY_DIGITS = f"""
CREATE FUNCTION catalog_currency_digits(currency text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
{CASES}
END;
COMMENT ON FUNCTION catalog_currency_digits(text) IS
    'The number of decimal places of a currency of ISO 4217, and null for any other text.';
"""

IS_CURRENCY = """
CREATE FUNCTION catalog_is_currency(currency text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN catalog_currency_digits(currency) IS NOT NULL;
COMMENT ON FUNCTION catalog_is_currency(text) IS 'Whether this is the code of a currency of ISO 4217.';
"""

IS_MONEY = """
CREATE FUNCTION catalog_is_money(amount numeric, currency text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN amount IS NULL OR coalesce(
    amount >= 0 AND amount < 'Infinity' AND scale(trim_scale(amount)) <= catalog_currency_digits(currency), false
);
COMMENT ON FUNCTION catalog_is_money(numeric, text) IS
    'Whether the amount is zero or more, and a whole number of the currency''s minor units.';
"""

# Order numbers don't tell how many orders there are, and never meet: a sequence, passed through a bijection of
# 40 bits (a Feistel network: any round function gives a permutation, see Luby and Rackoff, 1988; here Knuth's
# multiplicative hashing, TAOCP volume 3, section 6.4), written in base 32 as Douglas Crockford proposes
# (https://www.crockford.com/base32.html: no I, L, O or U, so that it can be read out and typed).
ORDER_NUMBER_SEQUENCE = """
CREATE SEQUENCE catalog_order_number_seq AS bigint MINVALUE 0 START 0 MAXVALUE 1099511627775 NO CYCLE;
COMMENT ON SEQUENCE catalog_order_number_seq IS 'What order numbers are made of; 40 bits.';
"""

ORDER_NUMBER_OF = """
CREATE FUNCTION catalog_order_number_of(ordinal bigint) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
DECLARE
    alphabet constant text := '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
    half constant bigint := 1048575;  -- 20 bits
    high bigint := (ordinal >> 20) & half;
    low bigint := ordinal & half;
    mixed bigint;
    scrambled bigint;
    number text := '';
BEGIN
    IF ordinal NOT BETWEEN 0 AND 1099511627775 THEN
        RAISE EXCEPTION 'order numbers have 40 bits: % is none', ordinal USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
    FOR round IN 1..4 LOOP
        mixed := ((low + round * 668265263::bigint) * 2654435769) & 4294967295;
        mixed := high # ((mixed # (mixed >> 15)) >> 9 & half);
        high := low;
        low := mixed;
    END LOOP;
    scrambled := (high << 20) | low;
    FOR place IN REVERSE 7..0 LOOP
        number := number || substr(alphabet, ((scrambled >> (5 * place)) & 31)::int + 1, 1);
    END LOOP;
    RETURN left(number, 4) || '-' || right(number, 4);
END
$body$;
COMMENT ON FUNCTION catalog_order_number_of(bigint) IS
    'The order number of an ordinal: one to one, and in no visible order.';
"""

ORDER_NUMBER = """
CREATE FUNCTION catalog_order_number() RETURNS text LANGUAGE sql VOLATILE
RETURN catalog_order_number_of(nextval('catalog_order_number_seq'));
COMMENT ON FUNCTION catalog_order_number() IS 'A new order number.';
"""

ORDER_SUMS = """
CREATE FUNCTION catalog_order_sums() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    key uuid := (coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> TG_ARGV[0])::uuid;
    this record;
BEGIN
    SELECT o.number, o.subtotal, o.item_count, o.currency,
           coalesce(sum(l.line_total), 0) AS lines_total,
           coalesce(sum(l.quantity), 0) AS lines_quantity,
           count(*) FILTER (WHERE l.currency <> o.currency) AS foreign_lines
      INTO this
      FROM catalog_order o LEFT JOIN catalog_orderline l ON l.order_id = o.id
     WHERE o.id = key
     GROUP BY o.id;
    IF NOT FOUND THEN
        RETURN NULL;
    ELSIF this.foreign_lines > 0 THEN
        RAISE EXCEPTION 'order % is in %, and % of its lines are not', this.number, this.currency, this.foreign_lines
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'currency',
                  CONSTRAINT = 'catalog_order_lines_currency';
    ELSIF this.subtotal <> this.lines_total THEN
        RAISE EXCEPTION 'the subtotal of order % is %, and its lines amount to %',
            this.number, this.subtotal, this.lines_total
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'subtotal',
                  CONSTRAINT = 'catalog_order_lines_subtotal';
    ELSIF this.item_count <> this.lines_quantity THEN
        RAISE EXCEPTION 'order % counts % items, and its lines %', this.number, this.item_count, this.lines_quantity
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'item_count',
                  CONSTRAINT = 'catalog_order_lines_item_count';
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION catalog_order_sums() IS
    'Holds an order''s subtotal, item count and currency to its lines''. Argument: the column of the order''s id.';
"""

ORDER_CUSTOMER = """
CREATE FUNCTION catalog_order_customer() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    -- The lock keeps the membership until the order is written; who leaves later keeps the orders.
    PERFORM FROM core_membership
      WHERE organization_id = NEW.organization_id AND user_id = NEW.customer_id
        FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the customer of an order is a member of its organization'
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, COLUMN = 'customer',
                  CONSTRAINT = 'catalog_order_customer_member';
    END IF;
    RETURN NULL;
END
$body$;
COMMENT ON FUNCTION catalog_order_customer() IS 'Refuses orders whose customer is no member of the organization.';
"""

OPERATIONS = [
    make("catalog_currency_digits", CURRENCY_DIGITS),
    make("catalog_is_currency", IS_CURRENCY),
    make("catalog_is_money", IS_MONEY),
    migrations.RunSQL(ORDER_NUMBER_SEQUENCE, "DROP SEQUENCE catalog_order_number_seq"),
    make("catalog_order_number_of", ORDER_NUMBER_OF),
    make("catalog_order_number", ORDER_NUMBER),
    make("catalog_order_sums", ORDER_SUMS),
    make("catalog_order_customer", ORDER_CUSTOMER),
]
