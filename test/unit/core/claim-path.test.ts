import { test } from 'tap'
import {
  claimAt,
  claimPathKey,
  claimPathOf,
  parseClaimPath,
  textsOf,
} from '../../../src/core/claim-path.ts'

await test('reads names, paths, URIs and lists of names', async t => {
  const cases: readonly (readonly [text: string, path: readonly string[] | undefined])[] = [
    ['tenant', ['tenant']],
    ['realm.tenant', ['realm', 'tenant']],
    ['https://example.com/tenant', ['https://example.com/tenant']],
    ['urn:example:tenant', ['urn:example:tenant']],
    ['example.com/tenant', ['example.com/tenant']],
    ['["https://example.com/claims","tenant"]', ['https://example.com/claims', 'tenant']],
    ['["com.example.tenant"]', ['com.example.tenant']],
    ['a.b.c.d.e.f.g.h', 'abcdefgh'.split('')],
    ['a.b.c.d.e.f.g.h.i', undefined],
    ['', undefined],
    ['.', undefined],
    ['a..b', undefined],
    ['a.', undefined],
    ['[]', undefined],
    ['[""]', undefined],
    ['[1]', undefined],
    ['["a"', undefined],
    ['x'.repeat(1_025), undefined],
  ]
  for (const [text, path] of cases) t.same(parseClaimPath(text), path, text.slice(0, 50))
  t.same(claimPathOf(['https://example.com/claims', 'tenant']), [
    'https://example.com/claims',
    'tenant',
  ])
  t.equal(claimPathKey(claimPathOf('a.b')), claimPathKey(claimPathOf('["a","b"]')))
})

await test('follows own members of objects, and nothing else', async t => {
  const claims = JSON.parse(
    '{"realm":{"tenant":"acme"},"https://x/c":{"tenant":"globex"},"list":[{"tenant":"a"}],"__proto__":{"tenant":"b"},"text":"t","none":null}',
  )
  const at = (text: string): unknown => claimAt(claims, claimPathOf(text))
  t.equal(at('realm.tenant'), 'acme')
  t.equal(at('["https://x/c","tenant"]'), 'globex')
  t.equal(at('__proto__.tenant'), 'b', 'a name as any other, of the token alone')
  for (const nowhere of [
    'tenant',
    'realm.toString',
    'constructor.name',
    'realm.__proto__.tenant',
    'list.0.tenant',
    'list.length',
    'text.length',
    'none.x',
  ])
    t.equal(at(nowhere), undefined, nowhere)
})

await test('the texts of a claim are itself, or those of an array of nothing else', async t => {
  t.same(textsOf('a'), ['a'])
  t.same(textsOf(['a', 'b']), ['a', 'b'])
  for (const other of [undefined, null, 7, {}, [], ['a', 7], [['a']]]) t.same(textsOf(other), [])
})
