-- One batch of orders and lines: those with the numbers from %(first)s to %(last)s.
-- They come in the order of their times, the organizations mixed, as in life.
CREATE TEMP TABLE batch ON COMMIT DROP AS
SELECT n, k, muster_uuid7() AS id, at,
       CASE n %% 10 WHEN 0 THEN 'pending' WHEN 1 THEN 'paid' WHEN 2 THEN 'processing' WHEN 3 THEN 'shipped'
                   WHEN 9 THEN 'cancelled' ELSE 'delivered' END AS status
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n,
     LATERAL (SELECT CASE WHEN n %% 4 = 0 THEN 0 ELSE 1 + n %% %(small)s END AS k,
                     timestamptz '2024-01-01' + n * interval '1 minute' AS at);

CREATE TEMP TABLE batch_line ON COMMIT DROP AS
SELECT batch.n, batch.id AS order_id, batch.at, j, product.*, 1 + (batch.n + j) %% 3 AS quantity
FROM batch, generate_series(0, batch.n %% 3) AS j,
     LATERAL (SELECT id AS product_id, organization_id, sku, name, price FROM benchmark_product
              WHERE k = batch.k AND p = (batch.n * 7 + j * 13) %% %(products)s) AS product;

INSERT INTO catalog_order (
    id, created_at, updated_at, organization_id, number, customer_id, status, currency, item_count, subtotal,
    discount, tax, shipping, total, billing_address, shipping_address, notes, placed_at, paid_at, processing_at,
    shipped_at, delivered_at, cancelled_at)
SELECT batch.id, at, at, customer.organization_id, 'B-' || batch.n, user_id, status, 'EUR', item_count, subtotal,
       0, tax, 4.90, subtotal + tax + 4.90, address, address, '', at,
       CASE WHEN status IN ('paid', 'processing', 'shipped', 'delivered') THEN at + interval '1 hour' END,
       CASE WHEN status IN ('processing', 'shipped', 'delivered') THEN at + interval '2 hours' END,
       CASE WHEN status IN ('shipped', 'delivered') THEN at + interval '1 day' END,
       CASE WHEN status = 'delivered' THEN at + interval '3 days' END,
       CASE WHEN status = 'cancelled' THEN at + interval '1 hour' END
FROM batch
JOIN benchmark_customer AS customer ON customer.k = batch.k AND c = batch.n %% %(customers)s
JOIN (SELECT n, sum(quantity) AS item_count, sum(quantity * price) AS subtotal,
             round(sum(quantity * price) * 0.2, 2) AS tax
      FROM batch_line GROUP BY n) AS sums ON sums.n = batch.n,
LATERAL (SELECT jsonb_build_object('name', customer.name, 'street', batch.n %% 200 || ' Hill Road',
                                   'city', 'Porto', 'postal_code', '4000-322', 'country', 'PT') AS address)
ORDER BY batch.n;

INSERT INTO catalog_orderline (
    id, created_at, updated_at, organization_id, order_id, product_id, sku, name, unit_price, currency, quantity)
SELECT muster_uuid7(), at, at, organization_id, order_id, product_id, sku, name, price, 'EUR', quantity
FROM batch_line ORDER BY n, j;
