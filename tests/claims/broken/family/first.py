from tests.claims.fake.tiny.holds import CLAIM as CLAIM
