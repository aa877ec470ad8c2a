import { test } from 'tap'
import { firstView, keysIn, press, SORT_KEYS, type View } from '../../../../src/cli/top/view.ts'

const ESC = '\x1b'
const SCREEN = { page: 20, matching: 100 }

/** After all of these keys. */
function after(input: string, view: View = firstView('calls', ''), screen = SCREEN): View {
  let now = view
  for (const key of keysIn(input)) now = press(now, key, screen).view
  return now
}

const effectOf = (key: string, view: View = firstView('calls', '')): string =>
  press(view, key, SCREEN).effect

await test('a chunk of input is taken apart into keys', t => {
  t.same(keysIn(`a${ESC}[A${ESC}OB${ESC}[6~${ESC}/`), [
    'a',
    `${ESC}[A`,
    `${ESC}OB`,
    `${ESC}[6~`,
    ESC,
    '/',
  ])
  t.same(keysIn(''), [])
  t.end()
})

await test('each figure has a key that sorts by it, from the top', t => {
  for (const [key, by] of Object.entries(SORT_KEYS)) {
    t.match(after(`${ESC}[B${key}`), { by, offset: 0 }, key)
    t.equal(effectOf(key), 'ask', key)
  }
  t.end()
})

await test('a filter is typed, corrected, taken, left, and taken away', t => {
  t.match(after('/glox\x7f'), { typing: 'glo', filter: '' })
  t.match(after('/glo\r'), { typing: undefined, filter: 'glo', by: 'calls' })
  t.match(after(`/glo${ESC}`), { typing: undefined, filter: '' })
  t.match(after('/glo\r/x\x15acme\r'), { filter: 'acme' })
  t.match(after(`/glo\r${ESC}`), { filter: '' })
  t.match(after('/G_o/ \x01q\r'), { filter: 'oq' }, 'ids have nothing else in them')
  t.equal(after(`/${'a'.repeat(100)}\r`).filter.length, 63)
  t.end()
})

await test('scrolling stays between the first and the last', t => {
  t.equal(after(`${ESC}[A`).offset, 0)
  t.equal(after(`${ESC}[Bj`).offset, 2)
  t.equal(after(`${ESC}[6~${ESC}[6~${ESC}[5~`).offset, 20)
  t.equal(after(`${ESC}[6~`.repeat(30)).offset, 80)
  t.equal(after(`${ESC}[6~g`).offset, 0)
  t.equal(after(`${ESC}[6~`, firstView('calls', ''), { page: 20, matching: 3 }).offset, 0)
  t.equal(
    after(`${ESC}[6~`.repeat(80), firstView('calls', ''), { page: 20, matching: 90_000 }).offset,
    980,
  )
  t.end()
})

await test('quit, suspend, stop, help, and keys that are none', t => {
  t.same(
    ['q', '\x03', '\x04', '\x1a', 'x', `${ESC}[Z`].map(key => effectOf(key)),
    ['quit', 'quit', 'quit', 'suspend', 'none', 'none'],
  )
  const typing = after('/')
  t.equal(effectOf('\x03', typing), 'quit', 'also while a filter is typed')
  t.equal(effectOf('q', typing), 'draw')
  t.match(after(' '), { paused: true })
  t.match(after('  '), { paused: false })
  t.match(after('h'), { help: true })
  t.match(after(`h${ESC}`), { help: false })
  t.match(after('hc'), { help: false })
  t.end()
})
