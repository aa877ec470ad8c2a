/** Messages as the lanes of the benchmark have them. */
import { API_KEY_RANDOM_BYTES, formatApiKey } from '../../src/core/api-key.ts'

function head(...lines: readonly string[]): Buffer {
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

/** The same each time, so that figures of two runs are of the same work. */
export const API_KEY: string = formatApiKey(
  'bench',
  new Uint8Array(API_KEY_RANDOM_BYTES).fill(0xa5),
)

export const REQUEST: Buffer = head(
  'GET /v1/orders/4711 HTTP/1.1',
  'Host: orders.example.com',
  `X-Api-Key: ${API_KEY}`,
)

/** As long as one that RS256 has signed. */
export const TOKEN_REQUEST: Buffer = head(
  'GET /v1/orders/4711 HTTP/1.1',
  'Host: orders.example.com',
  `Authorization: Bearer ${'eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.'.repeat(18).slice(0, 620)}`,
)

export const BROWSER_REQUEST: Buffer = head(
  'GET /v1/orders/4711?expand=items HTTP/1.1',
  'Host: orders.example.com',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'Accept-Language: en-GB,en;q=0.5',
  'Accept-Encoding: gzip, deflate, br, zstd',
  `X-Api-Key: ${API_KEY}`,
  'Referer: https://orders.example.com/v1/orders',
  'Connection: keep-alive',
  'Cookie: session=9f8e7d6c5b4a39281706f5e4d3c2b1a0; theme=dark',
  'Sec-Fetch-Dest: document',
  'Sec-Fetch-Mode: navigate',
  'Sec-Fetch-Site: same-origin',
  'Priority: u=0, i',
)

export const RESPONSE: Buffer = head(
  'HTTP/1.1 200 OK',
  'Server: nginx/1.22.1',
  'Date: Wed, 25 Nov 2026 12:00:00 GMT',
  'Content-Type: application/json',
  'Content-Length: 101',
  'Connection: keep-alive',
)
