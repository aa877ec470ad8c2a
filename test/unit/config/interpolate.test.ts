import { test } from 'tap'
import {
  interpolate,
  maskReplacements,
  unmaskReplacements,
} from '../../../src/config/interpolate.ts'

const ENV = { HOST: 'example.com', EMPTY: '', NESTED: '${HOST}', DIR: 'secrets' }

await test('what is in ${…} is replaced', async t => {
  const directory = t.testdir({
    'token.txt': 's3cret\n',
    'windows.txt': 's3cret\r\n',
    'lines.txt': 'a\n\n',
    secrets: { key: 'nested' },
    'dollar.txt': 'a${HOST}b',
  })
  const cases: Record<string, string> = {
    'no replacement': 'no replacement',
    '': '',
    '${HOST}': 'example.com',
    'https://${HOST}:${PORT:-443}/': 'https://example.com:443/',
    '${HOST:-other}': 'example.com',
    '${EMPTY}': '',
    '${EMPTY:-filled}': 'filled',
    '${NONE:-}': '',
    '${NONE:-${HOST}}': 'example.com',
    '${NONE:-a:-b}': 'a:-b',
    '${HOST:-${UNSET}}': 'example.com',
    '$${HOST}': '${HOST}',
    '$$${HOST}': '$${HOST}',
    '${HOST}$${HOST}${HOST}': 'example.com${HOST}example.com',
    '$HOST $ {HOST} }': '$HOST $ {HOST} }',
    '${NESTED}': '${HOST}',
    '${file:token.txt}': 's3cret',
    '${file:windows.txt}': 's3cret',
    '${file:lines.txt}': 'a\n',
    '${file:dollar.txt}': 'a${HOST}b',
    '${file:${DIR}/key}': 'nested',
    '${file:${NONE:-secrets}/key}': 'nested',
    [`\${file:${directory}/token.txt}`]: 's3cret',
  }
  for (const [text, value] of Object.entries(cases)) {
    t.same(interpolate(text, { env: ENV, directory }), { value }, text)
  }
})

await test('what cannot be replaced is a fault that says why', async t => {
  const directory = t.testdir({ folder: {}, state: {}, 'large.txt': 'x'.repeat(64 * 1024 + 1) })
  const cases: Record<string, string> = {
    '${NONE}': 'the environment variable NONE is not set; ${NONE:-default} has a default',
    '${toString}':
      'the environment variable toString is not set; ${toString:-default} has a default',
    'a${HOST': '${ without a closing }; write $${ for the characters themselves',
    '${}': '"${}" is not ${NAME}, ${NAME:-default} or ${file:PATH}',
    '${A-B}': '"${A-B}" is not ${NAME}, ${NAME:-default} or ${file:PATH}',
    '${file:}': '${file:PATH} needs a path',
    '${file:none.txt}': `the file ${directory}/none.txt does not exist`,
    '${file:folder}': `the file ${directory}/folder is a directory, must be a file`,
    '${file:large.txt}': `the file ${directory}/large.txt is larger than 65536 bytes`,
    '${file:state/key}': `the file ${directory}/state/key does not exist; \`npm start\` makes it`,
    [`${'${A:-'.repeat(20)}x${'}'.repeat(20)}`]: '${…} inside each other, at most 8 deep',
  }
  for (const [text, fault] of Object.entries(cases)) {
    t.same(interpolate(text, { env: ENV, directory }), { fault }, text)
  }
})

await test('replacements are hidden from YAML and shown again, at the same length', async t => {
  const hidden = ['{ a: ${A} }', '[${A:-x,[y]}, $${B}]', 'a ${file:${A:-b}/c} d', '${A}\n${B}']
  for (const text of hidden) {
    const masked = maskReplacements(text)
    t.notMatch(masked, /\$\{/, text)
    t.equal(masked.length, text.length)
    t.equal(unmaskReplacements(masked), text)
  }
  const left = ['{ a: 1 }', '{ a: "${" }', "'${' }", 'a: ${A\n}', '{}', '']
  for (const text of left) t.equal(maskReplacements(text), text, text)
})
