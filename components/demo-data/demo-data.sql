-- Demo data. Invented people at example.com (RFC 2606); ids begin with 00000000-0000-7000-8000- and so can't
-- collide with uuidv7(), whose first bits are the time. The password hash "!" matches no password: a tester lets
-- a demo user in by the normal reset.
-- Run in one transaction: an unbalanced entry, refused at commit, leaves nothing behind.

INSERT INTO flowlet.users (id, email, password_hash, full_name, country, status) VALUES
  ('00000000-0000-7000-8000-000000000101', 'ada.demo@example.com', '!', 'Ada Demo', 'DE', 'active'),
  ('00000000-0000-7000-8000-000000000102', 'bela.demo@example.com', '!', 'Béla Demo', 'HU', 'active'),
  ('00000000-0000-7000-8000-000000000103', 'chipo.demo@example.com', '!', 'Chipo Demo', 'ZW', 'pending')
ON CONFLICT DO NOTHING;

INSERT INTO flowlet.accounts (id, user_id, code, kind, currency, status) VALUES
  ('00000000-0000-7000-8000-000000000201', NULL, 'demo-settlement-eur', 'asset', 'EUR', 'open'),
  ('00000000-0000-7000-8000-000000000202', NULL, 'demo-settlement-usd', 'asset', 'USD', 'open'),
  ('00000000-0000-7000-8000-000000000203', NULL, 'demo-fees-eur', 'income', 'EUR', 'open'),
  ('00000000-0000-7000-8000-000000000211', '00000000-0000-7000-8000-000000000101', NULL, 'liability', 'EUR', 'open'),
  ('00000000-0000-7000-8000-000000000212', '00000000-0000-7000-8000-000000000101', NULL, 'liability', 'USD', 'open'),
  ('00000000-0000-7000-8000-000000000213', '00000000-0000-7000-8000-000000000102', NULL, 'liability', 'EUR', 'open'),
  ('00000000-0000-7000-8000-000000000214', '00000000-0000-7000-8000-000000000103', NULL, 'liability', 'EUR', 'frozen')
ON CONFLICT DO NOTHING;

INSERT INTO flowlet.journal_entries (id, idempotency_key, description, occurred_at) VALUES
  ('00000000-0000-7000-8000-000000000301', 'demo-301', 'Top-up by bank transfer', '2025-01-06 09:00:00Z'),
  ('00000000-0000-7000-8000-000000000302', 'demo-302', 'Transfer Ada to Béla, with fee', '2025-01-07 12:30:00Z'),
  ('00000000-0000-7000-8000-000000000303', 'demo-303', 'Exchange EUR to USD', '2025-01-08 17:45:00Z')
ON CONFLICT DO NOTHING;

-- debit > 0, credit < 0; a customer's balance is Flowlet's debt
INSERT INTO flowlet.postings (entry_id, line, account_id, currency, amount_minor) VALUES
  ('00000000-0000-7000-8000-000000000301', 1, '00000000-0000-7000-8000-000000000201', 'EUR', 100000),
  ('00000000-0000-7000-8000-000000000301', 2, '00000000-0000-7000-8000-000000000211', 'EUR', -100000),
  ('00000000-0000-7000-8000-000000000302', 1, '00000000-0000-7000-8000-000000000211', 'EUR', 25050),
  ('00000000-0000-7000-8000-000000000302', 2, '00000000-0000-7000-8000-000000000213', 'EUR', -25000),
  ('00000000-0000-7000-8000-000000000302', 3, '00000000-0000-7000-8000-000000000203', 'EUR', -50),
  ('00000000-0000-7000-8000-000000000303', 1, '00000000-0000-7000-8000-000000000211', 'EUR', 10000),
  ('00000000-0000-7000-8000-000000000303', 2, '00000000-0000-7000-8000-000000000201', 'EUR', -10000),
  ('00000000-0000-7000-8000-000000000303', 3, '00000000-0000-7000-8000-000000000202', 'USD', 10875),
  ('00000000-0000-7000-8000-000000000303', 4, '00000000-0000-7000-8000-000000000212', 'USD', -10875)
ON CONFLICT DO NOTHING;

INSERT INTO flowlet.kyc_checks (id, user_id, provider, provider_reference, kind, outcome, requested_at, decided_at) VALUES
  ('00000000-0000-7000-8000-000000000401', '00000000-0000-7000-8000-000000000101', 'demo', 'kyc-401', 'identity', 'passed',
   '2025-01-05 10:00:00Z', '2025-01-05 10:05:00Z'),
  ('00000000-0000-7000-8000-000000000402', '00000000-0000-7000-8000-000000000102', 'demo', 'kyc-402', 'identity', 'passed',
   '2025-01-05 11:00:00Z', '2025-01-05 11:20:00Z'),
  ('00000000-0000-7000-8000-000000000403', '00000000-0000-7000-8000-000000000103', 'demo', 'kyc-403', 'identity', 'pending',
   '2025-01-09 08:00:00Z', NULL)
ON CONFLICT DO NOTHING;

INSERT INTO flowlet.cards (id, account_id, issuer, issuer_token, last_four, expires_on, status) VALUES
  ('00000000-0000-7000-8000-000000000501', '00000000-0000-7000-8000-000000000211', 'demo', 'card-501', '0501', '2030-01-31', 'active'),
  ('00000000-0000-7000-8000-000000000502', '00000000-0000-7000-8000-000000000213', 'demo', 'card-502', '0502', '2030-01-31', 'frozen')
ON CONFLICT DO NOTHING;

INSERT INTO flowlet.notifications (id, user_id, kind, body, created_at) VALUES
  ('00000000-0000-7000-8000-000000000601', '00000000-0000-7000-8000-000000000101', 'welcome', '{"demo": true}', '2025-01-05 10:06:00Z')
ON CONFLICT DO NOTHING;

SELECT 'users ' || count(*) FROM flowlet.users WHERE id::text LIKE '00000000-0000-7000-8000-%';
SELECT 'accounts ' || count(*) FROM flowlet.accounts WHERE id::text LIKE '00000000-0000-7000-8000-%';
SELECT 'journal_entries ' || count(*) FROM flowlet.journal_entries WHERE id::text LIKE '00000000-0000-7000-8000-%';
SELECT 'postings ' || count(*) FROM flowlet.postings WHERE entry_id::text LIKE '00000000-0000-7000-8000-%';
