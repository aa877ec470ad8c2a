/** Every way in which a call can claim to be of another tenant, for tests that it gets nobody anywhere. */
export function lies(tenant: string): readonly {
  readonly name: string
  readonly headers: Readonly<Record<string, string>>
  readonly query?: string
}[] {
  return [
    { name: 'x-amt-tenant', headers: { 'x-amt-tenant': tenant } },
    { name: 'tenant', headers: { tenant, 'x-tenant-id': tenant } },
    {
      name: 'x-forwarded-for',
      headers: { 'x-forwarded-for': '10.0.0.1', 'x-real-ip': '10.0.0.1' },
    },
    { name: 'forwarded', headers: { forwarded: `for=10.0.0.1;by=${tenant}` } },
    {
      name: 'x-forwarded-client-cert',
      headers: { 'x-forwarded-client-cert': `URI=spiffe://example.org/tenant/${tenant}` },
    },
    { name: 'authorization', headers: { authorization: `Bearer amt_${tenant}_x` } },
    { name: 'host', headers: { host: `${tenant}.example.com` } },
    { name: 'query', headers: {}, query: `?tenant=${tenant}&deployment=notes/${tenant}` },
  ]
}
