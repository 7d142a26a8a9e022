-- Opportunities are read a page at a time too.
CREATE INDEX opportunities_listed_site ON opportunities (site, id DESC);
CREATE INDEX opportunities_listed_state ON opportunities (state, id DESC);
CREATE INDEX opportunities_listed_both ON opportunities (site, state, id DESC);
