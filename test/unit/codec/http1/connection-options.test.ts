import { test } from 'tap'
import { parseConnection } from '../../../../src/codec/http1/connection-options.ts'

/** Options in a short form: `close keep-alive upgrade | names`. */
function seen(value: string): string {
  const { close, keepAlive, upgrade, named } = parseConnection(value)
  const options = [close ? 'close' : '', keepAlive ? 'keep-alive' : '', upgrade ? 'upgrade' : '']
  return `${options.filter(Boolean).join(' ')} | ${[...named].join(' ')}`.trim()
}

const ROWS: readonly (readonly [value: string, expected: string])[] = [
  ['', '|'],
  ['close', 'close |'],
  ['Close', 'close |'],
  ['keep-alive', 'keep-alive |'],
  ['Keep-Alive', 'keep-alive |'],
  ['KEEP-ALIVE', 'keep-alive |'],
  ['upgrade', 'upgrade |'],
  ['Upgrade', 'upgrade |'],
  ['keep-alive, Upgrade', 'keep-alive upgrade |'],
  ['te', '|'],
  ['close, TE', 'close |'],
  ['X-One, x-two', '| x-one x-two'],
  [' close\t,\tx ,, ', 'close | x'],
  ['close, close', 'close |'],
  ['closed', '| closed'],
  ['close;a', '| close;a'],
  // RFC 9112 section 9.3: with `close` the connection does not persist, whatever else is said.
  ['keep-alive, close', 'close |'],
  ['close, keep-alive', 'close |'],
  // Only blanks and tabs may surround an option.
  ['\xa0close', '| \xa0close'],
]

await test('reads the Connection field', async t => {
  for (const [value, expected] of ROWS) t.equal(seen(value), expected, JSON.stringify(value))
})
