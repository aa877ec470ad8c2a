import { test } from 'tap'
import { normalizeHost } from '../../../../src/proxy/tenant/host-name.ts'

const CASES: readonly (readonly [name: string, value: string, expected: string])[] = [
  ['a plain name', 'acme.example.com', 'acme.example.com'],
  ['capitals', 'Acme.EXAMPLE.com', 'acme.example.com'],
  ['a port', 'acme.example.com:8443', 'acme.example.com'],
  ['an empty port', 'acme.example.com:', 'acme.example.com'],
  ['the dot of the root', 'acme.example.com.', 'acme.example.com'],
  ['the dot of the root and a port', 'acme.example.com.:80', 'acme.example.com'],
  ['only one port', 'acme.example.com:1:2', 'acme.example.com:1'],
  ['no port where it is no number', 'acme.example.com:x', 'acme.example.com:x'],
  ['only one dot', 'acme.example.com..', 'acme.example.com.'],
  ['a name that ends in a digit', 'host1', 'host1'],
  ['an IPv4 address', '10.0.0.1:80', '10.0.0.1'],
  ['an IPv6 address', '[2001:DB8::1]:80', '[2001:db8::1]'],
  ['a port alone', ':80', ''],
  ['nothing', '', ''],
  ['the Kelvin sign, whose lower case is "k"', 'acme.\u212a.com', ''],
  ['Latin-1', 'acm\u00e9.com', ''],
  ['too much', 'a'.repeat(300), ''],
]

await test('brings a host name into the form in which names are compared', async t => {
  for (const [name, value, expected] of CASES) t.equal(normalizeHost(value), expected, name)
})
